/*
 * fdoffer - what giver and successor say to each other: frames whose payload
 * begins with one of these tags. Not installed.
 */
#ifndef CL_LIB_FDOFFER_H
#define CL_LIB_FDOFFER_H

/* Socket and time limit in milliseconds, for the successor: "FD MS". */
#define OFFER_VARIABLE "CRIU_LITE_OFFER"

#define OFFER_TAG_LEN 4
#define OFFER_TAG "OFFR" /* the state; first descriptor: pidfd of whom it replaces */
#define OK_TAG "OKAY"
#define NO_TAG "NOPE" /* and why; either way */
#define GO_TAG "GOGO"

/* Longest answer of a successor, bytes. */
#define ANSWER_MAX 1024

#define OFFER_FDS_MAX (1u << 20)
#define OFFER_STATE_MAX (1u << 30)

#endif
