"""Reading and writing of films, optical flow, and flicker. PyAV and OpenCV are imported only when they are used."""
