/*
 * fdcontrol - the control data of a message, for who has to send or receive
 * more with it than fd_send_msg() and fd_recv_msg() do. Not installed.
 */
#ifndef CL_LIB_FDCONTROL_H
#define CL_LIB_FDCONTROL_H

#include <stdbool.h>
#include <stddef.h>

struct fd_sender; /* fdpass.h */
struct msghdr;

/**
 * fd_control_put - descriptors as control data
 * @control: where to, aligned as a struct cmsghdr
 * @fds: the descriptors
 * @n: how many, at most FD_MSG_MAX
 *
 * Return: bytes; 0 for no descriptors.
 */
size_t fd_control_put(void *control, const int *fds, size_t n);

/**
 * fd_control_take - descriptors of a message that was received
 * @m: the message
 * @fds: gets the descriptors
 * @max: how many it has room for; the surplus is closed
 * @n: how many are there already, and then
 *
 * Return: how many the message carried.
 */
size_t fd_control_take(struct msghdr *m, int *fds, size_t max, size_t *n);

/**
 * fd_control_sender - who sent a message
 * @m: the message
 * @from: gets the sender; zero if the message does not say
 *
 * Return: whether it says so.
 */
bool fd_control_sender(struct msghdr *m, struct fd_sender *from);

#endif
