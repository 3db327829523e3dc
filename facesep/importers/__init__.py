"""Official weight files of other projects, checked and turned into facesep's own."""
