"""Networks of any Keras backend, built in code; no file is touched here."""
