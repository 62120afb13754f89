# A file that has lost the name it was opened by, without the option for that.
# refused: link-remap
import os

from common import check, done, ready

open("a", "w").close()
os.link("a", "b")
fd = os.open("a", os.O_RDONLY)
os.unlink("a")
ready()
check("names", os.path.exists("b") and not [x for x in os.listdir(".") if x.startswith("link_")], True)
done()
