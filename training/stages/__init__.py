"""What is learned, stage by stage, and the limits that are fitted to it afterwards."""
