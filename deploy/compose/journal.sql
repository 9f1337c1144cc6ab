create database journal;
