0.9.1+c1treader"user*:
sh-c0while read line; do echo got $line; done; exit 70È8É@ÊHÿÿÿÿÿÿÿÿÿÀ>Ê>p1Ð>è>‚ð>Sterminal"pty*
sh0ÿÿÿÿÿÿÿÿÿ8ÿÿÿÿÿÿÿÿÿ@ÿÿÿÿÿÿÿÿÿHËPÅÌ$À>Ê>p2à>è>øð>*
!w6312822fbfe905203452261d772cd152/tmp/watched *V
beforeJ
before/tmp/watched/before € (í2
drwxr-xr-x:rootBrootJòÖÊï³ã-J
nobody/usrÂ>
KEPTyesÊ>lifeÐ>€€üøœƒö