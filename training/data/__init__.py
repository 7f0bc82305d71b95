"""What is learned from: recordings, labels, questions and their wordings."""
