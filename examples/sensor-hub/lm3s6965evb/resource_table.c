/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_memory.h"

#include "../lib/vring_device.h"
#include "line_table.h"

#define HUB_LINE(offset, name, port, base, bit) name "\0"
const char line_names[] = HUB_LINES;
#undef HUB_LINE
const uint32_t line_names_bytes = sizeof line_names - 1;

/* EVENT_IDX and the event stream are offered by the library; this is virtio_gpio_features() as a constant. */
#define FEATURES                                                            \
    (1u << VIRTIO_GPIO_F_IRQ_BIT | 1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT |   \
     (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT)

__attribute__((section(".resource_table"), used)) volatile struct hub_resource_table resource_table =
    HUB_RESOURCE_TABLE(RESOURCE_TABLE_VERSION, FEATURES, HUB_LINE_COUNT, sizeof line_names - 1, SHARED_BUFFERS,
                       SHARED_END - SHARED_BUFFERS, SHARED_TRACE, SHARED_TRACE_BYTES, SHARED_REQUEST_VRING,
                       REQUEST_NUM, SHARED_EVENT_VRING, EVENT_NUM, VRING_ALIGN);
