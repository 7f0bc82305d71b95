"""What has been learned, measured on ECGs that no stage has seen."""
