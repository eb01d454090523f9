"""The report of a run: facts gathered from its files, and the page that shows them.

``facts`` gathers everything into one structure that JSON can write; ``strip_study`` looks at every training strip
once; ``gallery`` chooses the strips to show and packs their pictures; ``charts`` draws; ``page`` puts it together.
"""
