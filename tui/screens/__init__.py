"""Whole screens, each one a page of the app."""
