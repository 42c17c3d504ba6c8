/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_memory.h"

__attribute__((section(".resource_table"), used)) volatile struct board_resource_table resource_table = {
    .hub = HUB_RESOURCE_TABLE(RESOURCE_TABLE_VERSION, HUB_DEVICE_ID, HUB_FEATURES, HUB_CONFIG_BYTES, SHARED_BUFFERS,
                              SHARED_END - SHARED_BUFFERS, SHARED_TRACE, SHARED_TRACE_BYTES, SHARED_VRING0,
                              HUB_VRING0_NUM, SHARED_VRING1, HUB_VRING1_NUM, VRING_ALIGN),
    .config = HUB_CONFIG,
};
