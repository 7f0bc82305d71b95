"""Writers of ECG files for the tests, written from the formats' descriptions, not the readers."""
