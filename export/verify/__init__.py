"""Whether exported files say what Keras says, and what they cost."""
