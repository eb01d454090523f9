"""A page that shows the defects of a strip: a Flask application around ``severstal.Predictor``."""
