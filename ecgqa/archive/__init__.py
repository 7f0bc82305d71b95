"""An archive of ECGs: every recording read, judged, measured, scored and asked, a row each."""
