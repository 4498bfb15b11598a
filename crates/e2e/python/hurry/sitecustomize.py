"""Makes the polls of clients short, so that scripts written for AWS need no change to be told as stories.

On the path of a story's Python, this module is imported before the script. Clients look at AWS every 30 or 60 seconds.
"""
import time

LONGEST_S = 0.5
patient = time.sleep
time.sleep = lambda seconds: patient(min(seconds, LONGEST_S))
