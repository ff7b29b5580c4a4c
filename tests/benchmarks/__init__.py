"""How fast the machinery is: `make bench`. README.md here has the results and says what is measured."""
