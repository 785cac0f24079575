/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reseeds the kernel's random generator after a resume. Two guests that are restored from one
 * snapshot would otherwise draw the same numbers until the kernel's next reseed.
 */
#ifndef ENVD_RESEED_H
#define ENVD_RESEED_H

#define RESEED_DEVICE "/dev/urandom"

enum reseed_result {
	RESEED_DONE,  /* the generator has a new key */
	RESEED_MIXED, /* the bytes are in the pool; the kernel uses them at its next reseed */
};

/*
 * Mixes values that differ between two guests into the pool: the two texts, the clocks, and the
 * processor's random numbers. No entropy is credited, because the daemon can't measure it
 * (RNDADDENTROPY, random(4)); then RNDRESEEDCRNG makes a new key. If the daemon may not call these
 * ioctls, it writes the bytes to the device. Returns an enum reseed_result, or -errno. May block if
 * the device is not the kernel's: call it on a worker.
 */
int reseed_random(const char *device, const char *text, const char *secret);

#endif
