/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[] = {
    "IMU_INT",    "BARO_DRDY", "ALS_INT",    "PROX_INT",      "MAG_DRDY", "BUTTON", "LID_OPEN", "TAMPER",
    "LED_STATUS", "LED_ERROR", "SENSOR_RST", "SENSOR_PWR_EN", "BUZZER",   "",       "LOOP_OUT", "LOOP_IN",
};
#define NAMED_LINES (sizeof NAMES / sizeof NAMES[0])
#define BUTTON 5
#define LOOP_OUT 14
#define LOOP_IN 15

bool lines_init(struct lines *lines, uint16_t count, const struct hub_device *device) {
    *lines = (struct lines){.count = count, .device = device};
    lines->line = calloc(count, sizeof *lines->line);
    lines->names = calloc(count, LINE_NAME_BYTES);
    if (lines->line == NULL || lines->names == NULL) {
        lines_free(lines);
        return false;
    }
    for (uint16_t i = 0; i < count; i++) {
        struct line *line = &lines->line[i];
        if (i < NAMED_LINES) {
            snprintf(line->name, sizeof line->name, "%s", NAMES[i]);
        } else {
            snprintf(line->name, sizeof line->name, "EXT_%u", i);
        }
        const size_t length = strlen(line->name) + 1;
        memcpy(lines->names + lines->names_bytes, line->name, length);
        lines->names_bytes += (uint32_t)length;
    }
    if (count > BUTTON) {
        struct line *button = &lines->line[BUTTON];
        button->external = button->level = button->reported = 1;
    }
    return true;
}

void lines_free(struct lines *lines) {
    free(lines->line);
    free(lines->names);
    lines->line = NULL;
    lines->names = NULL;
}

int lines_find(const struct lines *lines, const char *name) {
    if (name[0] == '\0') {
        return -1;
    }
    for (uint16_t i = 0; i < lines->count; i++) {
        if (strcmp(lines->line[i].name, name) == 0) {
            return i;
        }
    }
    char *end;
    const long index = strtol(name, &end, 10);
    return *end == '\0' && index >= 0 && index < lines->count ? (int)index : -1;
}

static bool is_output(const struct lines *lines, uint16_t line) {
    return lines->line[line].direction == VIRTIO_GPIO_DIRECTION_OUT;
}

int lines_driver_of(const struct lines *lines, uint16_t line) {
    if (is_output(lines, line)) {
        return line;
    }
    return line == LOOP_IN && is_output(lines, LOOP_OUT) ? LOOP_OUT : -1;
}

/* An interrupt controller that latches an edge of each line while the firmware does not look. */
static void interrupt(struct lines *lines, uint16_t index) {
    struct line *line = &lines->line[index];
    if (lines->interrupts_held || line->reported == line->level) {
        return;
    }
    line->reported = line->level;
    if ((line->edges & (line->level != 0 ? PORT_EDGE_RISING : PORT_EDGE_FALLING)) != 0) {
        hub_line_changed(lines->device, index, line->level);
    }
}

static void settle(struct lines *lines, uint16_t index) {
    struct line *line = &lines->line[index];
    const uint8_t level = is_output(lines, index) ? line->driven : line->external;
    if (level == line->level) {
        return;
    }
    line->level = level;
    interrupt(lines, index);
    if (lines->changed != NULL) {
        lines->changed(lines->changed_context, index, level);
    }
}

static void settle_loop(struct lines *lines, uint16_t index) {
    if (index == LOOP_OUT && LOOP_IN < lines->count && is_output(lines, LOOP_OUT)) {
        lines->line[LOOP_IN].external = lines->line[LOOP_OUT].driven;
        settle(lines, LOOP_IN);
    }
}

void lines_drive(struct lines *lines, uint16_t line, uint8_t level) {
    lines->line[line].external = level;
    settle(lines, line);
}

void lines_set_direction(struct lines *lines, uint16_t line, uint8_t direction, uint8_t level) {
    lines->line[line].direction = direction;
    lines->line[line].driven = level;
    settle(lines, line);
    settle_loop(lines, line);
}

void lines_write(struct lines *lines, uint16_t line, uint8_t level) {
    lines->line[line].driven = level;
    settle(lines, line);
    settle_loop(lines, line);
}

void lines_idle(struct lines *lines) {
    for (uint16_t i = 0; i < lines->count; i++) {
        lines->line[i].edges = 0;
        lines_set_direction(lines, i, VIRTIO_GPIO_DIRECTION_NONE, 0);
    }
}

void lines_hold_interrupts(struct lines *lines, bool held) {
    lines->interrupts_held = held;
    for (uint16_t i = 0; i < lines->count; i++) {
        interrupt(lines, i);
    }
}
