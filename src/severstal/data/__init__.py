"""The data of an experiment: strips, labels and their run-length code, the split, and the files made from them.

* ``strips`` reads JPEGs, ``labels`` reads tables, ``rle`` and ``run_length_masks`` convert codes and masks;
* ``near_duplicates`` and ``split`` make the folds, ``training_set`` reads strips, labels and folds together;
* ``memory_map`` caches decoded strips;
* ``out_of_fold`` holds predictions of the training strips, ``pseudo_labels`` labels of other strips.
"""
