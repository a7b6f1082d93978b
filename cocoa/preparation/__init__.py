"""From a dataset to what training needs: fitted models, the anchor seeker and anchors, kept in a cache."""
