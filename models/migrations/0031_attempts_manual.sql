-- Whether somebody has asked for the attempt. Others were made by the schedule.
ALTER TABLE attempts ADD COLUMN manual boolean NOT NULL DEFAULT false;
