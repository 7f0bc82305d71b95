"""What is drawn: an ECG as the page's canvas gets it, and the script and style that draw it."""
