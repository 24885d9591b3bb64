"""Ready-made trainings and the recipe files that describe them. Imports nothing by itself."""
