#!/usr/bin/python3
from busylib import *
def test_a():
    b=Busy(8,0)
    rnd=instants("x")
    h=[0]*4; n=0; bad=0
    for i in range(60):
        d=images()
        t=time.monotonic(); at=rnd.uniform(0,0.02)
        st=kill_at(launch("dump","-t",b.pid,"-D",d,"-R","-o","dump.log"),t,at)
        if st==0: continue
        n+=1
        time.sleep(0.05)
        b.runs("x")
        now=b.outside()[b.pid]["mapped"]
        if now!=b.look[b.pid]["mapped"]:
            bad+=1
            p=cl("cleanup","-t",b.pid,ok=False); 
            print("#",i,"%.2f ms"%(at*1e3),"cleanup",p.returncode,p.stderr.strip(),flush=True)
            now=b.outside()[b.pid]["mapped"]
            if now!=b.look[b.pid]["mapped"]:
                print("# still",flush=True)
                d=images(); dump(b.pid,d,"-R")
                if b.outside()[b.pid]["mapped"]!=b.look[b.pid]["mapped"]: print("# still after a dump")
                else: print("# gone after a dump")
    print("#",n,bad,b.eintr())
main()
