/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/cgroup/oom_count.h"

static void expire(struct oom_count *oom, uint64_t now_ms)
{
	if (now_ms - oom->grown_ms > OOM_CLAIM_MS)
		oom->unclaimed = 0;
}

void oom_count_update(struct oom_count *oom, uint64_t kills, uint64_t now_ms)
{
	expire(oom, now_ms);
	if (oom->known && kills > oom->seen) {
		oom->unclaimed += kills - oom->seen;
		oom->grown_ms = now_ms;
	}
	oom->known = true;
	oom->seen = kills;
}

void oom_count_continue(struct oom_count *oom, uint64_t seen, uint64_t unclaimed, uint64_t age_ms,
			uint64_t now_ms)
{
	uint64_t current = oom->seen;

	if (!oom->known || current < seen)
		return;
	oom->seen = seen;
	oom->unclaimed = unclaimed;
	oom->grown_ms = age_ms < now_ms ? now_ms - age_ms : 0;
	oom_count_update(oom, current, now_ms);
}

bool oom_count_claim(struct oom_count *oom, uint64_t now_ms)
{
	expire(oom, now_ms);
	if (oom->unclaimed == 0)
		return false;
	oom->unclaimed--;
	return true;
}
