"""Problems: tokens, queries, scores, and the SVM constraints they give."""
