"""ECG → tensor → encoder → projector → language model; and the reader of the question's kind."""
