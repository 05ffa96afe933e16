"""What is painted: pictures, films and the plan of stages."""
