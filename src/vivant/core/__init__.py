"""The words of the house: clips, faces, specs of methods, errors. Imports nothing else of Vivant."""
