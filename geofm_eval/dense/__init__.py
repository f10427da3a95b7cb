"""Dense tasks: decoders on the taps of a backbone, ways of tuning it, and how both are trained and scored."""
