"""What a robot was told and what it said, written down and played back."""
