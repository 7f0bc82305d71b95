"""Questions to begin with, by clinical theme; the page offers them."""

EXAMPLES = {
    "Rhythm": (
        "Does this ECG show atrial fibrillation?",
        "Which rhythm does this ECG show?",
        "Are there ventricular extrasystoles?",
    ),
    "Conduction": (
        "Is there a complete left bundle branch block?",
        "Is there a left anterior fascicular block?",
        "Is there a first degree AV block?",
    ),
    "Infarct and ischaemia": (
        "Does this ECG show an old inferior infarct?",
        "Any sign of an anterior infarct?",
        "In which leads are there inverted T waves?",
    ),
    "Hypertrophy": (
        "Are there signs of left ventricular hypertrophy?",
        "Is the QRS voltage high?",
    ),
    "Intervals and axis": (
        "Is the PR interval prolonged?",
        "Which intervals are above the normal range?",
        "Which direction does the heart axis point in?",
    ),
    "Two ECGs": (
        "Is a complete left bundle branch block new in the second ECG?",
        "Has atrial fibrillation gone in the second ECG?",
        "Which findings are new in the second ECG?",
    ),
}
