"""What is measured in each group of students: `components/evaluate/measures.py` under its old name."""

from components.evaluate.measures import AUC as AUC
from components.evaluate.measures import CLASSES as CLASSES
from components.evaluate.measures import COLUMNS as COLUMNS
from components.evaluate.measures import MEANINGS as MEANINGS
from components.evaluate.measures import RATIOS as RATIOS
from components.evaluate.measures import ratios_of as ratios_of
from components.evaluate.measures import row_values as row_values
