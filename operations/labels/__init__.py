"""Labels that people report, and labels that name the wrong merchant."""
