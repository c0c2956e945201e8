"""The safety envelope: limits, a profile, a person who is asked, and the wrapper that holds a driver to them."""
