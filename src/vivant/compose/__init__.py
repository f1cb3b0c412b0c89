"""Generated crops go back into the picture: masks, seams, colour, several faces."""
