import time
from tests.interop.gfapi import Gfapi
def bench(c, path):
    fd=c.creat(path); c.pwrite(fd,b"x"*131072,0)
    out={}
    for name,f in (("stat",lambda: c.stat(path)),("fstat",lambda: c.fstat(fd)),("read4k",lambda: c.pread(fd,4096,0)),("write4k",lambda: c.pwrite(fd,b"y"*4096,0))):
        t=[]
        for _ in range(5000):
            a=time.perf_counter(); f(); t.append(time.perf_counter()-a)
        t.sort(); out[name]=round(t[2500]*1e6,1)
    return out
