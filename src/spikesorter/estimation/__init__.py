"""Models of units and of a recording, and rehearsals made from them."""
