import { describe, expect, it } from 'vitest';
import { run } from './command-process.ts';
import { ControlService } from './control-service.ts';

const jsonLines = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('detect', () => {
  it('lists chips as gpiodetect does', async () => {
    const service = await ControlService.start();
    expect(await service.run(['detect'])).toEqual({
      code: 0,
      stdout: 'hub [simulated] (8 lines)\naux [simulated] (2 lines)\n',
      stderr: '',
    });
    expect((await service.run(['detect', 'aux'])).stdout).toBe('aux [simulated] (2 lines)\n');
  });

  it('says which chip there is not, and lists the others', async () => {
    const service = await ControlService.start();
    expect(await service.run(['detect', 'hbu', 'aux'])).toEqual({
      code: 1,
      stdout: 'aux [simulated] (2 lines)\n',
      stderr: 'rproc-gpio: there is no chip \'hbu\'; did you mean "hub"?\n',
    });
  });

  it('--json prints one object a line', async () => {
    const service = await ControlService.start();
    expect(jsonLines((await service.run(['detect', '--json'])).stdout)).toEqual([
      { name: 'hub', label: 'simulated', lineCount: 8, available: true },
      { name: 'aux', label: 'simulated', lineCount: 2, available: true },
    ]);
  });
});

describe('info', () => {
  it('prints lines as gpioinfo does', async () => {
    const service = await ControlService.start();
    await service.own(0, 'guest vm1', 1);
    service.chips[0]!.lines[1]!.settings = {
      activeLow: true,
      debounceMs: 5,
      initial: null,
      onRelease: 'keep',
    };
    const { code, stdout, stderr } = await service.run(['info', '--chip=hub']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines.length).toBe(10);
    expect(lines[0]).toBe('hub - 8 lines:');
    expect(lines[1]).toBe('\tline   0:\t"LED_STATUS"    \toutput consumer="guest vm1"');
    expect(lines[2]).toMatch(/^\tline {3}1:\t"LED_SENSE" {5}\t\w+ active-low debounce-period=5ms$/);
    expect(lines[6]).toMatch(/^\tline {3}5:\tunnamed {9}\t\w+$/);
  });

  it('of all chips, and without quotes', async () => {
    const service = await ControlService.start();
    const { stdout } = await service.run(['info', '--unquoted']);
    expect(stdout).toMatch(/^hub - 8 lines:\n\tline {3}0:\tLED_STATUS {6}\t/);
    expect(stdout).toMatch(/^aux - 2 lines:\n\tline {3}0:\tSHARED {10}\t/m);
  });

  it('of some lines: each that has the name, with chip and offset before it', async () => {
    const service = await ControlService.start();
    const { code, stdout } = await service.run(['info', 'SHARED', 'hub/#2']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^hub 2\t"IMU_INT" {7}\t\w+\nhub 4\t"SHARED" {8}\t\w+\naux 0\t"SHARED" {8}\t\w+\n$/,
    );
    expect((await service.run(['info', '-c', 'hub', '3'])).stdout).toMatch(/^hub 3\t"BUTTON"/);
  });

  it('says which line there is not, and prints the others', async () => {
    const service = await ControlService.start();
    const { code, stdout, stderr } = await service.run(['info', 'IMU_IN', 'RELAY']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "rproc-gpio: no line is named 'IMU_IN'; did you mean IMU_INT?\n",
    });
    expect(stdout).toMatch(/^aux 1\t"RELAY"/);
  });

  it('of a chip that there is not', async () => {
    const service = await ControlService.start();
    const { code, stdout, stderr } = await service.run(['info', '-c', 'gpiochip0']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^rproc-gpio: there is no chip 'gpiochip0'; chips are hub, aux\n$/);
  });

  it('--json prints one object a line', async () => {
    const service = await ControlService.start();
    await service.own(0, 'guest vm1', 1);
    expect(jsonLines((await service.run(['info', '--json', 'LED_STATUS'])).stdout)).toEqual([
      {
        chip: 'hub',
        offset: 0,
        name: 'LED_STATUS',
        direction: 'out',
        level: 1,
        activeLow: false,
        owner: 'guest vm1',
        users: ['guest vm1'],
        debounceMs: 0,
        edges: expect.any(Number),
        available: true,
      },
    ]);
  });
});

describe('get', () => {
  it('prints levels as gpioget does', async () => {
    const service = await ControlService.start();
    service.hub.drive(2, 1);
    const lines = ['IMU_INT', 'BUTTON', 'hub/#5'];
    expect(await service.run(['get', ...lines])).toEqual({
      code: 0,
      stdout: '"IMU_INT"=active "BUTTON"=inactive "hub/#5"=inactive\n',
      stderr: '',
    });
    expect((await service.run(['get', '--numeric', ...lines])).stdout).toBe('1 0 0\n');
    expect((await service.run(['get', '--unquoted', '-l', ...lines])).stdout).toBe(
      'IMU_INT=inactive BUTTON=active hub/#5=active\n',
    );
    expect((await service.run(['get', '-as', '-C', 'me', '-c', 'hub', '2'])).stdout).toBe('"2"=active\n');
  });

  it('--json prints one object a line', async () => {
    const service = await ControlService.start();
    service.hub.drive(2, 1);
    expect(jsonLines((await service.run(['get', '--json', 'IMU_INT', 'aux/RELAY'])).stdout)).toEqual([
      { line: 'hub/IMU_INT', chip: 'hub', offset: 2, name: 'IMU_INT', ok: true, level: 1 },
      { line: 'aux/RELAY', chip: 'aux', offset: 1, name: 'RELAY', ok: true, level: 0 },
    ]);
  });

  it.each([
    [['IMU_IN'], "rproc-gpio: no line is named 'IMU_IN'; did you mean IMU_INT?\n"],
    [
      ['-c', 'hub', 'IMU_IN', '9'],
      "rproc-gpio: no line of chip hub is named 'IMU_IN'; did you mean IMU_INT?\nrproc-gpio: chip hub has no line at offset 9; its lines are 0 to 7\n",
    ],
    [['SHARED'], "rproc-gpio: several lines are named 'SHARED': hub/SHARED, aux/SHARED\n"],
    [['hbu/IMU_INT'], "rproc-gpio: there is no chip 'hbu'; did you mean hub?\n"],
  ])('%j: told what was meant', async (args, stderr) => {
    const service = await ControlService.start();
    expect(await service.run(['get', ...args])).toEqual({ code: 1, stdout: '', stderr });
  });
});

describe('set, toggle, release', () => {
  it('drive lines that stay driven, and give them up', async () => {
    const service = await ControlService.start();
    const silent = { code: 0, stdout: '', stderr: '' };
    expect(await service.run(['set', 'LED_STATUS=1', '-t0', '-z'])).toEqual(silent);
    expect(service.hub.level(0)).toBe(1);
    expect((await service.run(['get', '--numeric', 'LED_STATUS', 'LED_SENSE'])).stdout).toBe('1 1\n');
    expect((await service.run(['info', 'LED_STATUS'])).stdout).toMatch(/\toutput consumer="command line"\n$/);
    expect(await service.run(['toggle', 'LED_STATUS'])).toEqual(silent);
    expect(service.hub.level(0)).toBe(0);
    expect(await service.run(['set', '-l', '-c', 'hub', '0=off'])).toEqual(silent);
    expect(service.hub.level(0)).toBe(1);
    expect(await service.run(['release', 'LED_STATUS'])).toEqual(silent);
    expect(service.chips[0]!.lines[0]!.ownerName).toBe(null);
  });

  it('names that hold = and spaces', async () => {
    const service = await ControlService.start();
    expect((await service.run(['set', 'C=D=1', 'A B=0'])).code).toBe(0);
    expect(service.hub.level(7)).toBe(1);
    expect((await service.run(['get', 'C=D', 'A B'])).stdout).toBe('"C=D"=active "A B"=inactive\n');
  });

  it('a line that a guest drives is refused with its owner, the others are set', async () => {
    const service = await ControlService.start();
    await service.own(0, 'guest vm1');
    expect(await service.run(['set', 'LED_STATUS=1', 'RELAY=1'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'rproc-gpio: hub/LED_STATUS: busy: owned by guest vm1\n',
    });
    expect(service.hub.level(0)).toBe(0);
    expect(service.aux.level(1)).toBe(1);
  });

  it('--json tells of each line, also of the refused', async () => {
    const service = await ControlService.start();
    await service.own(0, 'guest vm1');
    const { code, stdout, stderr } = await service.run(['toggle', '--json', 'LED_STATUS', 'RELAY']);
    expect(code).toBe(1);
    expect(stderr).toBe('rproc-gpio: hub/LED_STATUS: busy: owned by guest vm1\n');
    expect(jsonLines(stdout)).toEqual([
      expect.objectContaining({
        line: 'hub/LED_STATUS',
        ok: false,
        code: 'ERR_BUSY',
        reason: 'busy: owned by guest vm1',
      }),
      { line: 'aux/RELAY', chip: 'aux', offset: 1, name: 'RELAY', ok: true, level: 1 },
    ]);
  });

  it('a line named in two ways is refused before anything is driven', async () => {
    const service = await ControlService.start();
    const { code, stderr } = await service.run(['set', 'RELAY=1', 'aux/RELAY=0']);
    expect(code).toBe(1);
    expect(stderr).toBe('rproc-gpio: aux/RELAY is named twice\n');
    expect(service.aux.level(1)).toBe(0);
  });

  it('where the command line may only read', async () => {
    const service = await ControlService.start('read');
    const { code, stderr } = await service.run(['set', 'RELAY=1']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'rproc-gpio: refused: the command line may only read lines here (control.access is read)\n',
    });
    expect((await service.run(['get', '--numeric', 'RELAY'])).stdout).toBe('0\n');
  });
});

describe('pulse', () => {
  it('begins at once and ends by itself', async () => {
    const service = await ControlService.start();
    const monitor = service.start(['mon', '--banner', '-n', '4', '-F', '%l %E', 'LED_STATUS', 'BUTTON']);
    await monitor.until(/Monitoring/);
    service.hub.drive(3, 1);
    await monitor.until(/BUTTON rising/);
    expect(await service.run(['pulse', '--duration', '300us', 'LED_STATUS', 'RELAY=0'])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    await monitor.until(/LED_STATUS rising\nLED_STATUS falling/);
    service.hub.drive(3, 0);
    expect(await monitor.exit()).toBe(0);
    expect(monitor.stdout.trimEnd().split('\n').slice(1)).toEqual([
      'BUTTON rising',
      'LED_STATUS rising',
      'LED_STATUS falling',
      'BUTTON falling',
    ]);
    expect(service.aux.level(1)).toBe(1);
  });

  it('--json has the lines in the order in which they were given', async () => {
    const service = await ControlService.start();
    const { code, stdout } = await service.run([
      'pulse',
      '-d1h',
      '--json',
      'RELAY=0',
      'IMU_INT',
      'LED_STATUS=off',
    ]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    const second = await service.run(['pulse', '-d60m', '--json', 'RELAY=0', 'IMU_INT', 'LED_STATUS=off']);
    expect(jsonLines(second.stdout)).toEqual([
      expect.objectContaining({ line: 'aux/RELAY', ok: true, level: 0 }),
      expect.objectContaining({ line: 'hub/IMU_INT', ok: true, level: 1 }),
      expect.objectContaining({ line: 'hub/LED_STATUS', ok: true, level: 0 }),
    ]);
  });
});

describe('without a service', () => {
  it.each([
    [['detect']],
    [['info']],
    [['get', 'A']],
    [['set', 'A=1']],
    [['toggle', 'A']],
    [['pulse', '-d1', 'A']],
    [['release', 'A']],
    [['mon']],
    [['status']],
    [['reload']],
  ])('%j says so, and how to start one', async (args) => {
    const { code, stdout, stderr } = await run([...args, '--socket=/nonexistent/control.sock']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^rproc-gpio: no rproc-gpio service listens on \/nonexistent\/control\.sock; start it with .*rproc-gpio serve.*\n$/,
    );
  });

  it('arguments are checked first', async () => {
    const { code } = await run(['set', 'A', '--socket=/nonexistent/control.sock']);
    expect(code).toBe(2);
  });
});
