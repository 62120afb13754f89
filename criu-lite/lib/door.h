/*
 * door - the doors interface of Solaris, in user space.
 *
 * A door is a procedure that other processes call through a descriptor. What
 * is here has the names, layouts and error numbers of door(3C) there, so that
 * a program written for it compiles and behaves as it does. door(3) says what
 * differs. Functions return -1 and set errno, or return what is said.
 */
#ifndef CL_LIB_DOOR_H
#define CL_LIB_DOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Attributes of door_create(). */
#define DOOR_UNREF 0x01u       /* tell once that one reference is left */
#define DOOR_PRIVATE 0x02u     /* threads of its own */
#define DOOR_UNREF_MULTI 0x10u /* tell each time */
#define DOOR_REFUSE_DESC 0x40u /* no descriptors as arguments */
#define DOOR_NO_CANCEL 0x80u   /* a thread is not cancelled when its client is gone */

/* Attributes that door_info() and descriptors show beside them. */
#define DOOR_LOCAL 0x04u    /* the door is of this process */
#define DOOR_REVOKED 0x08u  /* no more calls */
#define DOOR_IS_UNREF 0x20u /* one reference is left */

/* door_desc_t.d_attributes */
#define DOOR_DESCRIPTOR 0x10000u
#define DOOR_RELEASE 0x40000u /* close it here when it is passed */

#define DOOR_UNREF_DATA ((void *)1) /* argp of an unreferenced delivery */
#define DOOR_QUERY (-2)             /* for door_info(): the door this thread is bound to */

#define DOOR_PARAM_DESC_MAX 1
#define DOOR_PARAM_DATA_MAX 2
#define DOOR_PARAM_DATA_MIN 3

typedef unsigned long long door_ptr_t;
typedef unsigned long long door_id_t;
typedef unsigned int door_attr_t;

#pragma pack(push, 4)
typedef struct door_desc {
	door_attr_t d_attributes;
	union {
		struct {
			int d_descriptor;
			door_id_t d_id; /* of a door: its number, which no other has */
		} d_desc;
		int d_resv[5];
	} d_data;
} door_desc_t;

typedef struct door_info {
	pid_t di_target; /* -1: the door is dead */
	door_ptr_t di_proc;
	door_ptr_t di_data;
	door_attr_t di_attributes;
	door_id_t di_uniquifier;
	int di_resv[4];
} door_info_t;
#pragma pack(pop)

typedef struct door_arg {
	char *data_ptr;
	size_t data_size;
	door_desc_t *desc_ptr;
	unsigned int desc_num;
	char *rbuf;
	size_t rsize;
} door_arg_t;

typedef struct door_cred {
	uid_t dc_euid;
	gid_t dc_egid;
	uid_t dc_ruid;
	gid_t dc_rgid;
	pid_t dc_pid;
	int dc_resv[4];
} door_cred_t;

typedef void door_server_procedure_t(void *cookie, char *argp, size_t arg_size, door_desc_t *dp,
				     unsigned int n_desc);
typedef void door_server_func_t(door_info_t *info);
typedef int door_xcreate_server_func_t(door_info_t *info, void *(*start)(void *), void *arg,
				       void *cookie);
typedef void door_xcreate_thrsetup_func_t(void *cookie);

/* A descriptor of a door has a mode that no other file has. */
#define S_ISDOOR(mode) (((mode) & (S_IFMT | S_ISVTX)) == (S_IFREG | S_ISVTX))

int door_create(door_server_procedure_t *proc, void *cookie, unsigned int attributes);
int door_xcreate(door_server_procedure_t *proc, void *cookie, unsigned int attributes,
		 door_xcreate_server_func_t *create, door_xcreate_thrsetup_func_t *setup,
		 void *create_cookie, int nthread);
int door_revoke(int fd);
int door_info(int fd, door_info_t *info);
int door_call(int fd, door_arg_t *params);
int door_return(char *data, size_t size, door_desc_t *desc, unsigned int num);
int door_bind(int fd);
int door_unbind(void);
int door_cred(door_cred_t *info);
int door_getparam(int fd, int param, size_t *out);
int door_setparam(int fd, int param, size_t val);
door_server_func_t *door_server_create(door_server_func_t *create);

int fattach(int fd, const char *path);
int fdetach(const char *path);

/* What <ucred.h> has there, for door_ucred(). */
typedef struct door_ucred_s ucred_t;
int door_ucred(ucred_t **uc);
void ucred_free(ucred_t *uc);
uid_t ucred_geteuid(const ucred_t *uc);
uid_t ucred_getruid(const ucred_t *uc);
uid_t ucred_getsuid(const ucred_t *uc);
gid_t ucred_getegid(const ucred_t *uc);
gid_t ucred_getrgid(const ucred_t *uc);
gid_t ucred_getsgid(const ucred_t *uc);
pid_t ucred_getpid(const ucred_t *uc);
int ucred_getgroups(const ucred_t *uc, const gid_t **groups);

#ifdef __cplusplus
}
#endif

#endif
