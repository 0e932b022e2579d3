"""What is known of units and of a recording, and rehearsals made from it."""
