"""Fleets as text: what a plan says in words and numbers, and its tables."""
