"""The pieces of the choosing screen. Imports nothing by itself."""
