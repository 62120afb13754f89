/* scols - the functions of libsmartcols that tables are printed with. */
#include "model/scols.h"

#include <dlfcn.h>
#include <errno.h>

/**
 * scols_load - load the library, or find it loaded
 * @s: its functions; the library stays
 *
 * Return: 0, or -ELIBACC if the library is not there or has not all of them.
 */
int scols_load(struct scols *s)
{
	void *lib = dlopen("libsmartcols.so.1", RTLD_LAZY | RTLD_NODELETE);

	if (!lib)
		return -ELIBACC;
#define F(fn)                                                \
	s->fn = (__typeof__(s->fn))dlsym(lib, "scols_" #fn); \
	if (!s->fn)                                          \
		return -ELIBACC;
	SCOLS_FUNCTIONS(F)
#undef F
	return 0;
}
