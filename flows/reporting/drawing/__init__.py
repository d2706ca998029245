"""The report's plots, drawn by matplotlib as SVG that takes its colours and fonts from the page. Imported late."""
