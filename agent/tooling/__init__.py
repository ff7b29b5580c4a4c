"""LangChain tools of any make, fitted to plans: described, given their arguments, called."""
