"""The screen and the command line: what a person sees and types. Imports nothing by itself."""
