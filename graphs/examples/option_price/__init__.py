"""The price of an option by simulation, on Ray."""
