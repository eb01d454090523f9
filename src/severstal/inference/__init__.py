"""Prediction with the ensemble: the Python API, submissions, inspection and pseudo-labels.

* ``members`` finds the networks, ``ensemble`` averages their maps, ``time_budget`` chooses networks for a time limit;
* ``predictor`` predicts single strips (the Python API), ``strip_prediction`` is what it returns;
* ``prediction`` and ``prediction_run`` predict whole folders, ``corrupt_strips`` says what stops a run, ``submission``
  writes and checks ``submission.csv``, ``scoring`` scores it where the truth is known;
* ``inspection`` and ``outlines`` draw what was found, ``assessment``, ``pseudo_labelling`` and ``pseudo_labelling_run``
  choose and write pseudo-labels.
"""
